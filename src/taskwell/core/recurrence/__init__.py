"""Recurrence: rules (RFC 5545), and the series of dates or local times that one makes from an anchor on.

`rule` parses, `days` has the days of a year, `series` what comes next. A search looks 100 years ahead, and
takes whole years, so that its cost is bounded for every rule that parses, also for one that never comes.
"""
