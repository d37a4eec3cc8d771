"""What the counts of both sides have in common."""
import re
import unittest


def total(path):
    """Instructions in what callgrind has written."""
    with open(path, encoding='utf-8') as f:
        return int(re.search(r'^(?:totals|summary): (\d+)', f.read(), re.MULTILINE).group(1))


class CostCase(unittest.TestCase):
    """Figures in instructions a message."""

    def check(self, what, figure, most=None):
        """Prints a figure; with `most` it is a promise."""
        promise = f', at most {most}' if most else ''
        print(f'{what}: {figure:.1f} instructions a message{promise}', flush=True)
        # A function that was not found counts nothing.
        self.assertGreater(figure, 10)
        if most:
            self.assertLessEqual(figure, most)
