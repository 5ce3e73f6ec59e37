select confirm(%(exchange)s, %(symbol)s, %(newest)s, %(at)s) as confirmed
