"""Pure tests of an application's logic: no database, no clock, the same code as in production.

::

    given(Order, OrderPlaced(...)).when(PayOrder(order_id="o-1")).then(OrderPaid())
    fold(summary, OrderPlaced(...), OrderPaid())["o-1"].status
    translate(legacy, "public.product", Updated(before, after))
"""

from __future__ import annotations

from headwater.shadow import check_all

check_all()

from cdc.translate import translate  # noqa: E402
from eventstore.testing import given  # noqa: E402
from projections import fold  # noqa: E402

__all__ = ["fold", "given", "translate"]
