"""Networks by name: from hubs, files and folders, each with where its weights come from."""
