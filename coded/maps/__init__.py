"""A linear map by its action on the rows of arrays, or of tensors.

Which map, and why, is the business of the codes; torch is imported in `tensors` alone.
"""
