"""The application: its parts, put together. ``headwater`` commands find it by ``[tool.headwater]``."""

from headwater import App
from sample_app.legacy import legacy
from sample_app.orders import Order
from sample_app.read_models import customers, order_summary, products, stock

app = App("shop", Order, legacy, products, stock, customers, order_summary)
