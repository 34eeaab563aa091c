"""Exponent biases: where they lie in an array, how they are chosen, and the histogram that tells."""
