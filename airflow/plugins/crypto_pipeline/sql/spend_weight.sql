select spend_weight(%(exchange)s, %(part)s, %(weight)s, %(own)s, %(all)s, %(window_s)s)
