"""The version, which the distribution reads here, too."""

VERSION = "0.1.0"
