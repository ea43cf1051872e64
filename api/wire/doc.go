// Package wire holds the JSON bodies of the HTTP interface, shared by the server and the Go client. The statements,
// receipts, trust files and reports inside them are formats of package evidence and pass through byte for byte.
//
// openapi.yaml describes the same bodies for everybody else; a test holds the two together.
package wire
