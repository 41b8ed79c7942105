"""Recipes: what a grade of electrode is run with, kept in versions that nobody changes afterwards.

recipe: one version, its bounds, its hash and what differs between two. store: the folder. stretch: the last good lip
profile of a journal. evencoat.recipe_commands is what people type, docs/recipes.md says what is promised.
"""
