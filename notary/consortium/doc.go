// Package consortium is what a node does beside the other nodes on the same shared ledger: it publishes itself and its
// keys in the ledger's directory, and it finds, fetches and verifies the public proofs of the others.
//
//	publisher, err := consortium.NewPublisher(consortium.PublisherOptions{Directory: d, Node: self, …})
//	go publisher.Run(ctx)
//
//	c, err := consortium.New(consortium.Options{Directory: d, Node: self, Ledgers: ledgers, Alarm: page})
//	proof, err := c.Find(ctx, "XM-350200-BUR01-20261123-00000001-7", sm3)
//
// The office part of an evidence number leads to the directory, the directory to the node, and the node to its public
// proof, which it shows to whoever names the SM3 of the content too. Nothing is believed for having come from there: the proof is verified by evidence.Verify with the keys that the
// directory holds for that node's log, and only what passes is handed on.
//
// # Requests to other nodes
//
// The addresses are those that members of the consortium wrote. A request goes to a fixed path below such an address,
// without credentials, over HTTPS, without proxies; redirects are not followed. Plain HTTP is for the nodes of one
// machine: it is used for a literal loopback address, if this node itself is published at one. Time and size of an answer
// are bounded, and nothing of it reaches the caller unless it is a valid proof. A proof that is false raises an alarm.
package consortium

import "cunzheng/evidence"

// OfficeCode is the fixed part of an office's evidence numbers, as the directory writes it: XM-350200-NOT01.
func OfficeCode(f evidence.NumberFormat) string { return f.Area + "-" + f.Region + "-" + f.Office }
