"""The seven models of the LSEC-GNN paper (Yu et al. 2021, arXiv 2106.03415), to compare with."""
