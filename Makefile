# make test   formatting, vet, static analysis, all tests with the race detector, the end-to-end scripts
# make slow   what takes longer: fuzzing, other systems, the side-by-side benchmark against its limits, testssl.sh's audit, a browser
# make build  the programs, into ./bin
# make install, make uninstall   programs and manual pages, below $(DESTDIR)$(PREFIX)

GO ?= go
FUZZTIME ?= 10s
PREFIX ?= /usr/local
DESTDIR ?=
BINDIR = $(DESTDIR)$(PREFIX)/bin
MANDIR = $(DESTDIR)$(PREFIX)/share/man/man1
PROGRAMS = pen penctl penlog penlogd mergelogs
STATICCHECK = $(GO) tool -modfile=.ci/tools.mod staticcheck

.PHONY: all build install uninstall test peers format vet static race slow fuzz portable manual compare audit browser clean

all: build

build:
	$(GO) build -o bin/ ./cmd/...

# What is in ./bin is installed as it is, so that root needs no Go: make build, and then, as root, make install.
bin/%:
	$(MAKE) build

install: $(PROGRAMS:%=bin/%)
	install -d $(BINDIR) $(MANDIR)
	install -m 755 $(PROGRAMS:%=bin/%) $(BINDIR)
	install -m 644 $(PROGRAMS:%=docs/%.1) $(MANDIR)

uninstall:
	rm -f $(PROGRAMS:%=$(BINDIR)/%) $(PROGRAMS:%=$(MANDIR)/%.1)

test: peers format vet static manual race

# The real programs that the end-to-end scripts talk to, and the C compiler that the race detector wants.
peers:
	@.ci/peers

format:
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "not formatted with gofmt: $$bad"; exit 1; fi

vet:
	$(GO) vet ./...

static:
	$(STATICCHECK) ./...

race:
	@if command -v $${CC:-gcc} >/dev/null; then set -x; CGO_ENABLED=1 $(GO) test -race -timeout 15m ./...; \
	else echo "no C compiler: the tests run without the race detector"; set -x; $(GO) test -timeout 15m ./...; fi

manual:
	@if command -v mandoc >/dev/null; then mandoc -T lint -W warning docs/*.1; else echo "no mandoc: the manual pages are not checked"; fi

slow: portable fuzz compare audit browser

# Linux is what must work; the rest of the family has to build.
portable:
	GOOS=darwin $(GO) vet ./...
	GOOS=freebsd $(GO) vet ./...
	$(GO) vet -tags nogeodb ./...
	$(GO) test -tags nogeodb ./geo
	$(GO) vet -tags nohttp3 ./...
	$(GO) test -tags nohttp3 -run HTTP3 ./proxy

# The built-in database of countries, fetched anew with npm.
geodb:
	geo/builtin/refresh

# Every fuzz target for FUZZTIME, those that read HTTP for 30s at least.
fuzz:
	@GO="$(GO)" .ci/fuzz $(FUZZTIME)

# CPU per unit of work beside the peers that are installed. It fails only where a floor is missed by more than a shared
# machine's noise; the floors themselves are -check's own limits, for a quiet one. See bench/RESULTS.md.
compare:
	$(GO) run ./bench/compare -check -rounds 3 -d 400ms -limits 'W1<=1.3,W5<=1.6,W5h2<=2.0,W6<=1.9,W8<=1.5,W9<=1.6,W13<=1.6'

# What testssl.sh, which tries what has ever been wrong with TLS, says of the default and of other ways to run it.
audit: peers
	AUDIT=1 $(GO) test -count=1 -timeout 9m -run '^TestAudit$$' -v ./cmd/pen

# Chromium opens WebSockets and streams of events, over HTTP/2 and over HTTP/1.1.
browser: peers
	BROWSER=1 $(GO) test -count=1 -timeout 9m -run '^TestBrowser$$' -v ./cmd/pen

clean:
	rm -rf bin
