package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/caddyserver/certmagic"
	acmeproto "github.com/mholt/acmez/v3/acme"
)

// accountPath is the directory of the account's two files in the storage. An
// account belongs to one CA, one e-mail address and one external account.
func (id identity) accountPath() string {
	user := id.email
	if user == "" {
		user = "default"
	}
	if id.eabKey != "" {
		user += "-eab-" + id.eabKey
	}
	return path.Join("acme", certmagic.StorageKeys.Safe(id.key()), "users", certmagic.StorageKeys.Safe(user))
}

// account returns the account at the CA: the stored one, or a new one, which
// is registered and stored. One at a time, also among processes.
func (i *issuer) account(ctx context.Context) (acmeproto.Account, error) {
	if account, err := i.storedAccount(ctx); !errors.Is(err, fs.ErrNotExist) {
		return account, err
	}
	lock := "account_" + i.id.accountPath()
	if err := i.store.Lock(ctx, lock); err != nil {
		return acmeproto.Account{}, err
	}
	defer i.store.Unlock(context.WithoutCancel(ctx), lock)
	if account, err := i.storedAccount(ctx); !errors.Is(err, fs.ErrNotExist) {
		return account, err
	}
	account, err := i.register(ctx)
	if err != nil {
		return account, &refusal{"no account at the CA: " + words(err), err}
	}
	if err := i.storeAccount(ctx, account); err != nil {
		return account, fmt.Errorf("storing the account: %w", err)
	}
	return account, nil
}

func (i *issuer) storedAccount(ctx context.Context) (acmeproto.Account, error) {
	var account acmeproto.Account
	dir := i.id.accountPath()
	registration, err := i.store.Load(ctx, path.Join(dir, "registration.json"))
	if err != nil {
		return account, err
	}
	private, err := i.store.Load(ctx, path.Join(dir, "private.key"))
	if err != nil {
		return account, err
	}
	if err := json.Unmarshal(registration, &account); err != nil {
		return account, fmt.Errorf("stored account %s: %w", dir, err)
	}
	if account.PrivateKey, err = certmagic.PEMDecodePrivateKey(private); err != nil {
		return account, fmt.Errorf("stored account %s: %w", dir, err)
	}
	return account, nil
}

// storeAccount writes the registration last: without it there is no account.
func (i *issuer) storeAccount(ctx context.Context, account acmeproto.Account) error {
	private, err := certmagic.PEMEncodePrivateKey(account.PrivateKey)
	if err != nil {
		return err
	}
	registration, err := json.Marshal(account)
	if err != nil {
		return err
	}
	dir := i.id.accountPath()
	if err := i.store.Store(ctx, path.Join(dir, "private.key"), private); err != nil {
		return err
	}
	return i.store.Store(ctx, path.Join(dir, "registration.json"), registration)
}

// register makes a key and an account for it at the CA (RFC 8555 section 7.3).
func (i *issuer) register(ctx context.Context) (acmeproto.Account, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return acmeproto.Account{}, err
	}
	account := acmeproto.Account{PrivateKey: key, TermsOfServiceAgreed: true}
	if i.id.email != "" {
		account.Contact = []string{"mailto:" + i.id.email}
	}
	if i.id.eabKey != "" {
		if err := account.SetExternalAccountBinding(ctx, i.client, acmeproto.EAB{KeyID: i.id.eabKey, MACKey: i.id.eabSecret}); err != nil {
			return account, err
		}
	}
	account, err = i.client.NewAccount(ctx, account)
	if err == nil {
		i.log.Info("ACME account registered", "ca", i.id.directory, "account", account.Location)
	}
	return account, err
}
