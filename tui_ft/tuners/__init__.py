"""Adapters that peft does not have, made as peft makes its own. Part of the work: torch is here."""
