package proxy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"edgepen/httpx"
)

// maxPage bounds a page: each goes out with every answer of its status.
const maxPage = 64 << 10

// pageTypes are the Content-Types of pages, by the ends of their files' names.
var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8", ".txt": "text/plain; charset=utf-8", ".json": "application/json",
}

// PageType is the Content-Type of a file; empty: it cannot be a page.
func PageType(file string) string { return pageTypes[strings.ToLower(filepath.Ext(file))] }

// readPages reads the pages that clients are shown with our own answers, unless they are those that old has.
func (s *snapshot) readPages(old *snapshot) error {
	if maps.Equal(s.ErrorPages, old.ErrorPages) {
		s.pages = old.pages
		return nil
	}
	s.pages = httpx.Pages{}
	for status, file := range s.ErrorPages {
		body, err := readPage(file)
		if err != nil {
			return fmt.Errorf("error_page %d: %v", status, err)
		}
		s.pages[status] = &httpx.Page{Type: PageType(file), Body: body}
	}
	return nil
}

// readPage refuses pipes and devices: to open one can block for ever.
func readPage(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, cannotReadPage(file, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", file)
	}
	body, err := io.ReadAll(io.LimitReader(f, maxPage+1))
	switch {
	case err != nil:
		return nil, cannotReadPage(file, err)
	case len(body) > maxPage:
		return nil, fmt.Errorf("%s is too large; expected at most %d bytes", file, maxPage)
	}
	return body, nil
}

// cannotReadPage drops the name of the system call and the second copy of the path.
func cannotReadPage(file string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return fmt.Errorf("cannot read %s: %v", file, err)
}
