package httpx

import "strconv"

// A Page is what clients are shown with an error, in place of the page that is built in.
type Page struct {
	Type string // its Content-Type
	Body []byte
}

// Pages are pages by status.
type Pages map[int]*Page

// An Answer is a whole response of our own to a request that no server answers.
type Answer struct {
	Status int
	Detail string // a sentence for the page that is built in; may be empty
	Page   *Page  // nil: the one that is built in
	Fields []byte // field lines, each with its CRLF
	Head   bool   // the request was HEAD: the page is left out, its Content-Length stays (RFC 9110 section 9.3.2)
	Keep   bool   // the connection stays open
}

// Append appends the answer, which is not to be cached, to dst.
func (a *Answer) Append(dst []byte) []byte {
	kind, body := "text/html; charset=utf-8", []byte(nil)
	if a.Page != nil {
		kind, body = a.Page.Type, a.Page.Body
	} else {
		body = appendPage(nil, a.Status, a.Detail)
	}
	dst = strconv.AppendInt(append(dst, "HTTP/1.1 "...), int64(a.Status), 10)
	dst = append(append(append(dst, ' '), StatusText(a.Status)...), "\r\nContent-Type: "...)
	dst = append(append(dst, kind...), "\r\nContent-Length: "...)
	dst = append(strconv.AppendInt(dst, int64(len(body)), 10), "\r\nCache-Control: no-store\r\n"...)
	dst = append(dst, a.Fields...)
	if !a.Keep {
		dst = append(dst, "Connection: close\r\n"...)
	}
	dst = append(dst, "\r\n"...)
	if a.Head {
		return dst
	}
	return append(dst, body...)
}

// AppendErrorPage appends an [Answer] with the page that is built in, behind which the connection closes. The detail is escaped.
func AppendErrorPage(dst []byte, status int, detail string, head bool) []byte {
	return (&Answer{Status: status, Detail: detail, Head: head}).Append(dst)
}

func appendPage(dst []byte, status int, detail string) []byte {
	title := strconv.Itoa(status) + " " + StatusText(status)
	dst = append(dst, "<!DOCTYPE html>\n<html><head><title>"...)
	dst = append(dst, title...)
	dst = append(dst, "</title></head>\n<body><h1>"...)
	dst = append(dst, title...)
	dst = append(dst, "</h1>"...)
	if detail != "" {
		dst = append(dst, "<p>"...)
		dst = appendEscaped(dst, detail)
		dst = append(dst, "</p>"...)
	}
	return append(dst, "</body></html>\n"...)
}

func appendEscaped(dst []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '<':
			dst = append(dst, "&lt;"...)
		case '>':
			dst = append(dst, "&gt;"...)
		case '&':
			dst = append(dst, "&amp;"...)
		case '"':
			dst = append(dst, "&quot;"...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
