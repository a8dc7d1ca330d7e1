"""Codes beside each other on one function: raced, summed up, drawn.

Nothing here prints or reads options, which is the business of `command_line`; no code is named
but for the picture, which shows some always and gives each its colour.
"""
