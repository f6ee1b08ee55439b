"""The scores, one a file; each file has a public function, and what it measures on shared passes.

- `naswot`, `jacob_cov`: how differently examples are treated, without targets.
- `zico`, `snip`, `grad_norm`: gradients of the loss.
- `synflow`: the paths through the weights, without any data.
- `size`: parameters and multiplications, which are no zero-cost proxies but hard to beat.
"""
