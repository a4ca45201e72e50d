// SimHost
