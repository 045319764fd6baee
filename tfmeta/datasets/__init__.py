"""Data sets as banks of images, and who owns which of them. Start with `open_dataset`."""

from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.opening import check_name, default_cache_dir, default_data_dir, open_dataset

__all__ = ["ImageBank", "check_name", "default_cache_dir", "default_data_dir", "open_dataset"]
