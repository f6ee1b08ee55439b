from evotune import proxies
from evotune.testing.proxies import ProxyContract


class TestNaswot(ProxyContract):
    def make(self):
        return proxies.naswot


class TestZico(ProxyContract):
    def make(self):
        return proxies.zico


class TestSynflow(ProxyContract):
    def make(self):
        return proxies.synflow


class TestSnip(ProxyContract):
    def make(self):
        return proxies.snip


class TestGradNorm(ProxyContract):
    def make(self):
        return proxies.grad_norm


class TestJacobCov(ProxyContract):
    tokens = False

    def make(self):
        return proxies.jacob_cov


class TestParams(ProxyContract):
    runs = False

    def make(self):
        return proxies.params


class TestMultiplyAdds(ProxyContract):
    runs = False

    def make(self):
        return proxies.multiply_adds
