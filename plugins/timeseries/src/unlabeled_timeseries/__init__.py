"""Time series for unlabeled: univariate and multivariate series of unequal length."""
