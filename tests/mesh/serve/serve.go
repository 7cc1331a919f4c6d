// Package serve has the servers outside a mesh: the registry with the plugin's image, and the provider behind TLS.
package serve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Check ends the program with an error.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Authority signs all certificates of a test.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	// Root is its certificate in PEM.
	Root []byte
}

// NewAuthority makes a certificate authority.
func NewAuthority() *Authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	Check(err)
	certificate, err := x509.ParseCertificate(der)
	Check(err)
	return &Authority{certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// Sign makes a certificate and a key in PEM, for a host or for a SPIFFE identity.
func (a *Authority) Sign(host string, identity string) ([]byte, []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if host != "" {
		template.DNSNames = []string{host}
	}
	if identity != "" {
		uri, err := url.Parse(identity)
		Check(err)
		template.URIs = []*url.URL{uri}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	Check(err)
	private, err := x509.MarshalECPrivateKey(key)
	Check(err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})
}

// Pair is a certificate for a TLS server or client.
func (a *Authority) Pair(host string, identity string) tls.Certificate {
	pair, err := tls.X509KeyPair(a.Sign(host, identity))
	Check(err)
	return pair
}

// Pool has the authority's certificate.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// TLS accepts TLS connections for a host and copies them to a plain server. It returns its address.
func TLS(a *Authority, host, plain string) string {
	server, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{a.Pair(host, "")}})
	Check(err)
	go Forward(server, func() (net.Conn, error) { return net.Dial("tcp", plain) })
	return server.Addr().String()
}

// Forward copies each connection to one that `dial` makes.
func Forward(server net.Listener, dial func() (net.Conn, error)) {
	for {
		client, err := server.Accept()
		if err != nil {
			return
		}
		go func() {
			upstream, err := dial()
			if err != nil {
				log.Print(err)
				_ = client.Close()
				return
			}
			go func() {
				_, _ = io.Copy(upstream, client)
				_ = upstream.Close()
			}()
			_, _ = io.Copy(client, upstream)
			_ = client.Close()
		}()
	}
}

// Image puts the only image of an OCI layout into a registry and returns the registry's address.
func Image(folder string) string {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	Check(err)
	go func() {
		_ = http.Serve(server, registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	}()
	address := server.Addr().String()
	index, err := layout.ImageIndexFromPath(folder)
	Check(err)
	manifest, err := index.IndexManifest()
	Check(err)
	image, err := index.Image(manifest.Manifests[0].Digest)
	Check(err)
	version := manifest.Manifests[0].Annotations["org.opencontainers.image.ref.name"]
	tag, err := name.NewTag(address+"/gaugeway:"+version, name.Insecure)
	Check(err)
	Check(remote.Write(tag, image))
	return address
}

// HostPort splits an address.
func HostPort(address string) (string, uint32) {
	host, port, err := net.SplitHostPort(address)
	Check(err)
	number, err := strconv.ParseUint(port, 10, 16)
	Check(err)
	return host, uint32(number)
}
