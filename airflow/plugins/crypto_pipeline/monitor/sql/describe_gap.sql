update gaps set detail = %(detail)s where gap_id = %(gap_id)s and detail is distinct from %(detail)s
