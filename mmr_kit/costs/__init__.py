"""What retrieval costs (paper, Tables 3 and 4): a model and a collection of the asked size, the published way of using them and the kit's, timed in turn."""
