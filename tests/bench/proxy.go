// The reverse proxy of Go's standard library: listen address and upstream URL are its arguments.
package main

import (
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	upstream, err := url.Parse(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	// The default keeps two idle connections per host and would connect anew for most requests.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 256
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		// The load generator leaves in the middle of its last requests.
		ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(upstream)
			request.SetXForwarded()
		},
	}
	log.Fatal(http.ListenAndServe(os.Args[1], proxy))
}
