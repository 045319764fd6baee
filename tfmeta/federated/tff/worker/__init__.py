"""The life of TFF's worker process. A reader of the federation may skip this package."""
