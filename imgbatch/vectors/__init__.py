"""Matrices of vectors in, numbers about them out: no dataset, no file, no picture.

columns    a list column of Arrow as a matrix
draw       a fair, seeded draw of rows by their keys
space      principal components
partition  k-means: fitted on a sample, scored, and how stable it is
density    HDBSCAN: fitted on a sample
assign     the nearest of some centers for every row, block by block
links      pairs of vectors that are near, by an index, never n^2
whispers   communities in a graph of links
"""
