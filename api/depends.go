package api

import (
	"context"
	"errors"
	"io"

	"cunzheng/api/token"
	"cunzheng/api/wire"
	"cunzheng/crypto/sm2"
	"cunzheng/evidence"
	"cunzheng/notary"
)

// Evidence is what the server needs of the notary for deposits and look-ups; *notary.Service satisfies it.
type Evidence interface {
	DepositFile(ctx context.Context, by notary.Actor, d notary.FileDeposit, content io.Reader) (*notary.Deposit, error)
	DepositDigest(ctx context.Context, by notary.Actor, d notary.DigestDeposit) (*notary.Deposit, error)
	DepositDigests(ctx context.Context, by notary.Actor, d []notary.DigestDeposit) []notary.Result
	Get(ctx context.Context, by notary.Actor, number string) (*notary.Record, error)
	Search(ctx context.Context, by notary.Actor, q notary.Query) (*notary.Page, error)
	Bundle(ctx context.Context, by notary.Actor, number string, w io.Writer, o notary.BundleOptions) error
	ContentInfo(ctx context.Context, by notary.Actor, number string) (*notary.ContentInfo, error)
	// Content writes the original from byte first on.
	Content(ctx context.Context, by notary.Actor, number string, first int64, w io.Writer) error
	Trust() (*evidence.Trust, error)
}

// Registry is what the server needs of the notary to know who calls; *notary.Service satisfies it.
type Registry interface {
	// Authenticate checks a password and returns the account it belongs to.
	Authenticate(ctx context.Context, account, password string) (notary.Actor, error)
	// Actor returns the account with the roles it has now, or an error if it, its organisation, or what proved it may not
	// act any more: the id of a machine key, or the credential of the actor that Authenticate returned.
	Actor(organisation, account, credential string) (notary.Actor, error)
	// AuthenticationKey finds a registered machine key by its id, or says why it may not be used.
	AuthenticationKey(id string) (*sm2.PublicKey, error)

	SetPassword(ctx context.Context, by notary.Actor, account, password string) error
	Organisations(ctx context.Context, by notary.Actor) ([]evidence.Organisation, error)
	RegisterOrganisation(ctx context.Context, by notary.Actor, o evidence.Organisation) error
	Accounts(ctx context.Context, by notary.Actor) ([]notary.Account, error)
	RegisterOfficer(ctx context.Context, by notary.Actor, a notary.Account) error
	Keys(ctx context.Context, by notary.Actor) ([]notary.RegisteredKey, error)
	RegisterKey(ctx context.Context, by notary.Actor, k evidence.Key) (evidence.Key, error)
	RevokeKey(ctx context.Context, by notary.Actor, r evidence.KeyRevocation) error
}

// Log is the public face of the log. Its methods return an error that wraps ErrNotFound for a path that names no tile
// of the log.
type Log interface {
	Checkpoint() ([]byte, error)             // the latest signed checkpoint, as text
	Tile(path string) ([]byte, error)        // one tile of hashes by its path, such as "tile/0/x001/067"
	EntryBundle(path string) ([]byte, error) // one tile of entries
}

// ErrNotFound is what a Log says of a tile that does not exist, or not yet.
var ErrNotFound = errors.New("no such tile")

// Tokens holds the platform's keys for access tokens, the newest last.
type Tokens interface {
	TokenSigner() (token.Signer, error)
	TokenKeys() []token.PublicKey
}

// Check is one thing the service depends on.
type Check = wire.Check
