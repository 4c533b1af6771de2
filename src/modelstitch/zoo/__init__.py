"""Small networks and the recipes that train them: donors to stitch."""
