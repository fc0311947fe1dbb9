"""The pipeline as functions, for Python and for the commands alike: each stage alone, and all in their order.

They log what they do under the name `nevus`, and are silent unless the program that calls them configures logging.
"""

import logging

logging.getLogger("nevus").addHandler(logging.NullHandler())
