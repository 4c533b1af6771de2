"""From cells to records: the stitches that share a bottom and a top are fitted and measured together."""
