// Package client talks to a Cunzheng server over HTTP.
//
//	c, err := client.New(client.Options{
//		Server:      "https://cz.example",
//		Credentials: client.Machine("gateway-1", "0f1e2d3c4b5a6978", key),
//	})
//	deposit, err := c.DepositFile(ctx, client.File{Name: "contract.pdf", Size: size, Content: file})
//	…
//	err = c.Bundle(ctx, deposit.Number, true, out)
//
// It fetches and renews access tokens by itself, repeats what the server asks to repeat later (429 and 503, as
// Retry-After says) and what a broken connection left open, and gives every deposit an idempotency key, so that a
// repetition never deposits twice. Every refusal of the server is a *[Problem].
package client
