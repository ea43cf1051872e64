// Package notary is the service behind all doors: it takes deposits, finds them again, hands out proofs, and keeps the
// register of organisations, accounts and keys.
//
//	service, err := notary.New(ctx, notary.Deps{Log: log, Vault: originals, Keys: keys, Dir: dir, Config: config})
//
//	deposit, err := service.DepositFile(ctx, actor, notary.FileDeposit{Name: "contract.pdf"}, upload)
//	// deposit.Number and deposit.Receipt are the depositor's; the proof in the receipt has been verified
//
//	err = service.Bundle(ctx, actor, deposit.Number, w, notary.BundleOptions{WithContent: true, Disclose: true})
//
// # What a deposit is
//
// Whatever is deposited becomes a statement of package evidence, one entry of the log. A file goes into the vault
// first, durably, and is evidence only once the log has its statement; package vault tells what a crash in between
// leaves and how it is removed. The answer carries the receipt: signed, and checked by this package before it leaves.
//
// The log is the truth. What is kept beside it, and nowhere else, is: the originals (vault), the opened commitments
// (sealed, beside their entry, so that they can be erased), and in Dir the passwords (sealed) and the mark up to which
// numbers are given out. Who is registered is replayed from the log when the service starts.
//
// # Who may do what
//
// One table, in policy.go, decides about every action of every role. All methods take an [Actor]; where it comes from
// is the business of the caller, usually [Service.Authenticate] or [Service.Actor].
//
// # Errors
//
// Every error that a person can do something about is an *[Error]: a stable code, and a sentence in Chinese and in
// English.
package notary
