"""Where networks and data come from: closed registries of loaders, each imported when first asked for."""
