"""Classes for files with networks of a user, which define a class ``Net`` before."""

WITH_SOFTMAX = """
class Softmax(Net):
    def forward(self, x):
        return super().forward(x).softmax(1)

class LogSoftmax(Net):
    def forward(self, x):
        return super().forward(x).log_softmax(1)
"""
