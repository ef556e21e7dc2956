"""Shallow learners: vectors with labels in, a model in one file out; vectors in, labels out.

kinds    the learners and their settings
file     a fitted model and its record, as one file without pickle
scores   predictions against the truth
"""
