"""The configuration of a run: fields in groups, profiles, and what the command line overrides."""

from tfmeta.config import legacy
from tfmeta.config.config import GROUPS, Config, fields
from tfmeta.config.fields import STAGES
from tfmeta.config.profiles import PROFILE_NAMES
from tfmeta.config.settings import make_config, merged, parse_settings, resolve, resolve_all
from tfmeta.config.tags import changed_fields, tag_of

__all__ = [
    "GROUPS", "PROFILE_NAMES", "STAGES", "Config", "changed_fields", "fields", "legacy", "make_config", "merged",
    "parse_settings", "resolve", "resolve_all", "tag_of",
]  # fmt: skip
