"""Recipes: what a grade of electrode is run with, kept in versions that nobody changes afterwards.

recipe: one version, its bounds, its hash and what differs between two. store: the folder. stretch: the last good lip
profile of a journal. apply: a version goes, by way of the desk, to a line that runs. evencoat.recipe_commands is what
people type, docs/recipes.md says what is promised.
"""
