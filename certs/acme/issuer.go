package acme

import (
	"context"
	stdtls "crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	acmeproto "github.com/mholt/acmez/v3/acme"
)

// ordersAtOnce bounds how many orders are under way, twice what is obtained
// on demand (demandAtOnce), so that those leave room for the others.
const ordersAtOnce = 20

// issuer orders certificates from one CA with one account. Of certmagic's own
// ACMEIssuer it does without the challenge solvers: those open listeners.
type issuer struct {
	id     identity
	store  *storage
	log    *slog.Logger
	client *acmeproto.Client
	table  *pending
	slots  chan struct{}
	life   context.Context // ends all orders
}

var (
	_ certmagic.Issuer            = (*issuer)(nil)
	_ certmagic.RenewalInfoGetter = (*issuer)(nil)
)

// maxAnswer is more than any answer of a CA has.
const maxAnswer = 4 << 20

// bounded cuts answers that are larger than maxAnswer.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	}
	return answer, err
}

func newIssuer(life context.Context, id identity, store *storage, table *pending, log *slog.Logger) *issuer {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSHandshakeTimeout:   30 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		IdleConnTimeout:       30 * time.Second,
		ForceAttemptHTTP2:     true,
	}
	if id.roots != "" {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(id.roots))
		transport.TLSClientConfig = &stdtls.Config{RootCAs: pool}
	}
	return &issuer{
		id: id, store: store, log: log, life: life, table: table,
		client: &acmeproto.Client{
			Directory:   id.directory,
			HTTPClient:  &http.Client{Transport: bounded{transport}, Timeout: time.Minute},
			UserAgent:   "edgepen",
			PollTimeout: 90 * time.Second,
			Logger:      slog.New(quiet{log.Handler()}),
		},
		slots: make(chan struct{}, ordersAtOnce),
	}
}

// IssuerKey names the CA in the storage.
func (i *issuer) IssuerKey() string { return i.id.key() }

// begin waits for a place among those who talk to the CA. The context it
// returns ends with the authority too, for certmagic's maintenance has one of
// its own. It is done if there was no place in time.
func (i *issuer) begin(ctx context.Context) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(i.life, cancel)
	select {
	case i.slots <- struct{}{}:
		return ctx, func() { <-i.slots; stop(); cancel() }
	case <-ctx.Done():
		return ctx, func() { stop(); cancel() }
	}
}

// GetRenewalInfo asks the CA when to renew cert (ARI).
func (i *issuer) GetRenewalInfo(ctx context.Context, cert certmagic.Certificate) (acmeproto.RenewalInfo, error) {
	ctx, end := i.begin(ctx)
	defer end()
	if ctx.Err() != nil {
		return acmeproto.RenewalInfo{}, ctx.Err()
	}
	return i.client.GetRenewalInfo(ctx, cert.Leaf)
}

// Issue obtains the certificate that csr asks for. It tries the challenges in
// their order; the error says how each of them failed.
func (i *issuer) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	ctx, end := i.begin(ctx)
	defer end()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	issued, err := i.order(ctx, csr)
	if problem := new(acmeproto.Problem); errors.As(err, problem) && problem.Type == acmeproto.ProblemTypeAccountDoesNotExist {
		// As when a CA was set up anew: the account is of no use any more.
		i.log.Warn("the CA does not know the ACME account, registering another", "ca", i.id.directory)
		if err := i.store.Delete(ctx, i.id.accountPath()); err != nil {
			return nil, err
		}
		issued, err = i.order(ctx, csr)
	}
	if err != nil {
		return nil, &refusal{words(err), err}
	}
	return issued, nil
}

func (i *issuer) order(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	account, err := i.account(ctx)
	if err != nil {
		return nil, err
	}
	order, err := acmez.OrderParametersFromCSR(account, csr)
	if err != nil {
		return nil, err
	}
	order.Profile = i.id.profile
	if len(csr.DNSNames) == 1 {
		order.Replaces = i.predecessor(ctx, csr.DNSNames[0], account)
	}
	chains, err := i.tryChallenges(ctx, order)
	if order.Replaces != nil && refusesReplacement(err) {
		i.log.Debug("ACME: the CA refuses the order as a replacement", "name", csr.DNSNames[0], "why", words(err))
		order.Replaces = nil
		chains, err = i.tryChallenges(ctx, order)
	}
	if err != nil {
		return nil, err
	}
	if len(chains) == 0 {
		return nil, errors.New("the CA sent no certificate")
	}
	return &certmagic.IssuedCertificate{Certificate: chains[0].ChainPEM, Metadata: chains[0]}, nil
}

// tryChallenges places the order once for each challenge, until one succeeds.
// acmez would choose among them by what succeeded before.
func (i *issuer) tryChallenges(ctx context.Context, order acmez.OrderParameters) ([]acmeproto.Certificate, error) {
	name := ""
	if len(order.Identifiers) == 1 {
		name = strings.ToLower(order.Identifiers[0].Value)
	}
	var texts []string
	var errs []error
	for kind := range strings.FieldsSeq(i.id.challenges) {
		client := acmez.Client{Client: i.client, ChallengeSolvers: map[string]acmez.Solver{kind: &solver{table: i.table, kind: kind, name: name}}}
		chains, err := client.ObtainCertificate(ctx, order)
		if err == nil || ctx.Err() != nil {
			return chains, err
		}
		var problem acmeproto.Problem
		if errors.As(err, &problem) {
			if _, validation := problem.Resource.(acmeproto.Authorization); !validation {
				return nil, err // the same with every challenge
			}
		}
		texts, errs = append(texts, kind+": "+words(err)), append(errs, err)
		if request := new(url.Error); errors.As(err, &request) {
			break // the CA cannot be reached
		}
	}
	return nil, &refusal{strings.Join(texts, "; "), errors.Join(errs...)}
}

// predecessor is the stored certificate that an order for name renews, for
// the CA to know (RFC 9773 section 5): nil if there is none, or if another
// account or CA issued it.
func (i *issuer) predecessor(ctx context.Context, name string, account acmeproto.Account) *x509.Certificate {
	meta, err := i.store.Load(ctx, certmagic.StorageKeys.SiteMeta(i.IssuerKey(), name))
	if err != nil {
		return nil
	}
	var resource certmagic.CertificateResource
	var issued acmeproto.Certificate
	if json.Unmarshal(meta, &resource) != nil || json.Unmarshal(resource.IssuerData, &issued) != nil ||
		issued.CA != i.id.directory || issued.Account != account.Location || issued.RenewalInfo == nil || !issued.RenewalInfo.HasWindow() {
		return nil
	}
	chain, err := i.store.Load(ctx, certmagic.StorageKeys.SiteCert(i.IssuerKey(), name))
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(chain)
	if block == nil {
		return nil
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || !slices.Contains(leaf.DNSNames, name) {
		return nil
	}
	return leaf
}

// refusesReplacement reports whether err may come from the order naming the
// certificate that it replaces, rather than from the order.
func refusesReplacement(err error) bool {
	var problem acmeproto.Problem
	if !errors.As(err, &problem) || problem.Resource != nil {
		return false
	}
	switch problem.Type {
	case acmeproto.ProblemTypeMalformed, acmeproto.ProblemTypeUnauthorized, acmeproto.ProblemTypeAlreadyReplaced:
		return true
	}
	return problem.Status == http.StatusNotFound || problem.Status == http.StatusConflict
}

// close ends the idle connections to the CA.
func (i *issuer) close() { i.client.HTTPClient.CloseIdleConnections() }
