"""What the plant refuses, apart from the plant: who only wants to name the error need not load a compiler."""


class ScenarioError(ValueError):
    """A scenario that cannot be played: says field, value and bound."""
