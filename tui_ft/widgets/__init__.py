"""Widgets of the live screens: chart, bars, signs, log, confirmation, help, hardware panel."""
