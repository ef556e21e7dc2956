"""Measures imgbatch against bare loops and against its peers; each section runs alone."""
