package client

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json"

	"cunzheng/api/wire"
	"cunzheng/evidence"
)

// Organisations lists all registered organisations.
func (c *Client) Organisations(ctx context.Context) ([]evidence.Organisation, error) {
	list, err := fetch[wire.List[evidence.Organisation]](ctx, c, read("/v1/registry/organisations", nil))
	return list.Items, err
}

// RegisterOrganisation registers an organisation, or changes one.
func (c *Client) RegisterOrganisation(ctx context.Context, o evidence.Organisation) (evidence.Organisation, error) {
	return send[evidence.Organisation](ctx, c, http.MethodPost, "/v1/registry/organisations", o)
}

// Accounts lists all registered accounts.
func (c *Client) Accounts(ctx context.Context) ([]wire.Account, error) {
	list, err := fetch[wire.List[wire.Account]](ctx, c, read("/v1/registry/accounts", nil))
	return list.Items, err
}

// RegisterAccount registers an account, or changes one.
func (c *Client) RegisterAccount(ctx context.Context, a wire.Account) (wire.Account, error) {
	return send[wire.Account](ctx, c, http.MethodPost, "/v1/registry/accounts", a)
}

// SetPassword sets the password of an account.
func (c *Client) SetPassword(ctx context.Context, account, password string) error {
	return c.sendNothing(ctx, http.MethodPut, "/v1/registry/accounts/"+url.PathEscape(account)+"/password", wire.Password{Password: password})
}

// RegisteredKeys lists all signers' keys, revoked ones included.
func (c *Client) RegisteredKeys(ctx context.Context) ([]wire.Key, error) {
	list, err := fetch[wire.List[wire.Key]](ctx, c, read("/v1/registry/keys", nil))
	return list.Items, err
}

// RegisterKey registers a signer's SM2 public key. The answer holds the id that assertions name.
func (c *Client) RegisterKey(ctx context.Context, k wire.Key) (wire.Key, error) {
	return send[wire.Key](ctx, c, http.MethodPost, "/v1/registry/keys", k)
}

// RevokeKey revokes a signer's key, given by its id.
func (c *Client) RevokeKey(ctx context.Context, id string, r wire.Revocation) error {
	return c.sendNothing(ctx, http.MethodPost, "/v1/registry/keys/"+url.PathEscape(id)+"/revocation", r)
}

// send makes a change and returns the answer.
func send[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	call, err := change(method, path, body)
	if err != nil {
		var none T
		return none, err
	}
	return fetch[T](ctx, c, call)
}

// sendNothing makes a change whose answer is empty.
func (c *Client) sendNothing(ctx context.Context, method, path string, body any) error {
	call, err := change(method, path, body)
	if err != nil {
		return err
	}
	return c.download(ctx, call, io.Discard)
}

// change is a call that is not repeated after a broken connection, as the change may have been made.
func change(method, path string, body any) (call, error) {
	encoded, err := json.Marshal(body)
	return call{
		method: method, path: path, header: http.Header{"Content-Type": {"application/json"}},
		body: bytesBody(encoded), length: int64(len(encoded)),
	}, err
}
