"""Pure functions from predictions and references to numbers; each names its source, its unit and what it does with
empty or silent input.
"""
