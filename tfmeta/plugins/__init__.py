"""Plug-ins: attacks, triggers, aggregations, defences, data sets and models, each a class in a file of its own."""

from tfmeta.config.fields import number, word
from tfmeta.plugins.base import Plugin, shared

__all__ = ["Plugin", "number", "shared", "word"]
