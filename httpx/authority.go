package httpx

// validAuthority tells whether p is a host with an optional port, as in a Host field (RFC 9110 section 7.2) or behind the scheme of an
// absolute target. Stricter than RFC 3986 section 3.2: no user information, no percent-encoding, no comma,
// no zone or future form of an IP literal; a colon is followed by a port of 0 to 65535.
func validAuthority(p []byte) bool {
	i := 0
	if len(p) > 0 && p[0] == '[' {
		for i < len(p) && p[i] != ']' {
			i++
		}
		if i == len(p) || !validIPv6(p[1:i]) {
			return false
		}
		i++
	} else {
		for i < len(p) && classes[p[i]]&nameChar != 0 {
			i++
		}
	}
	switch {
	case i == 0:
		return false
	case i == len(p):
		return true
	}
	return p[i] == ':' && validPort(p[i+1:])
}

func validPort(p []byte) bool {
	n, ok := parseLength(p)
	return ok && len(p) <= 5 && n <= 65535
}

// validIPv6 checks the text form of RFC 4291 section 2.2, the one with an IPv4 address at its end included.
func validIPv6(p []byte) bool {
	groups, gap := 0, false
	if len(p) >= 2 && p[0] == ':' && p[1] == ':' {
		gap = true
		p = p[2:]
	}
	for len(p) > 0 {
		n := 0
		for n < len(p) && classes[p[n]]&hexChar != 0 {
			n++
		}
		if n < len(p) && p[n] == '.' {
			return validIPv4(p) && fillsIPv6(groups+2, gap)
		}
		if n == 0 || n > 4 {
			return false
		}
		groups++
		p = p[n:]
		if len(p) == 0 {
			break
		}
		if p[0] != ':' || len(p) == 1 {
			return false
		}
		p = p[1:]
		if p[0] == ':' {
			if gap {
				return false
			}
			gap = true
			p = p[1:]
		}
	}
	return fillsIPv6(groups, gap)
}

// fillsIPv6 tells whether so many groups, and a gap of at least one, make an address.
func fillsIPv6(groups int, gap bool) bool {
	if gap {
		return groups < 8
	}
	return groups == 8
}

// validIPv4 checks four decimal numbers of 0 to 255 without leading zeros.
func validIPv4(p []byte) bool {
	for part := range 4 {
		n, v := 0, 0
		for n < len(p) && n < 3 && '0' <= p[n] && p[n] <= '9' {
			v = v*10 + int(p[n]-'0')
			n++
		}
		if n == 0 || v > 255 || n > 1 && p[0] == '0' {
			return false
		}
		p = p[n:]
		if part < 3 {
			if len(p) == 0 || p[0] != '.' {
				return false
			}
			p = p[1:]
		}
	}
	return len(p) == 0
}

// validPathQuery tells whether p may stand behind the authority: visible ASCII but for '#', with well-formed percent-encoding in the
// path. A query is opaque: browsers put a lone percent sign there.
func validPathQuery(p []byte) bool {
	i := 0
	for ; i < len(p); i++ {
		if classes[p[i]]&pathChar != 0 {
			continue
		}
		if p[i] != '%' || len(p)-i < 3 || classes[p[i+1]]&classes[p[i+2]]&hexChar == 0 {
			break
		}
		i += 2
	}
	if i < len(p) && p[i] != '?' {
		return false
	}
	for ; i < len(p); i++ {
		if classes[p[i]]&queryChar == 0 {
			return false
		}
	}
	return true
}
