// Helm's own packages that render, package and check a chart, without those that talk to Kubernetes:
//
//	helm template CHART VALUES NAME NAMESPACE    prints the resources
//	helm package CHART FOLDER                    writes NAME-VERSION.tgz
//	helm lint CHART VALUES                       prints what "helm lint --strict" finds
package main

import (
	"fmt"
	"log"
	"os"
	"sort"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
)

func main() {
	log.SetFlags(0)
	arguments := os.Args[2:]
	switch os.Args[1] {
	case "template":
		template(load(arguments[0]), values(arguments[1]), arguments[2], arguments[3])
	case "package":
		_, err := chartutil.Save(load(arguments[0]), arguments[1])
		check(err)
	case "lint":
		for _, message := range lint.All(arguments[0], values(arguments[1]), "default", true).Messages {
			if message.Severity >= support.WarningSev {
				fmt.Println(message)
			}
		}
	default:
		log.Fatalf("unknown command %s", os.Args[1])
	}
}

func template(loaded *chart.Chart, given chartutil.Values, name, namespace string) {
	release := chartutil.ReleaseOptions{Name: name, Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(loaded, given, release, chartutil.DefaultCapabilities)
	check(err)
	rendered, err := engine.Render(loaded, all)
	check(err)
	var files []string
	for file, text := range rendered {
		if strings.HasSuffix(file, ".yaml") && strings.TrimSpace(text) != "" {
			files = append(files, file)
		}
	}
	sort.Strings(files)
	for _, file := range files {
		fmt.Printf("---\n# Source: %s\n%s\n", file, rendered[file])
	}
}

func load(path string) *chart.Chart {
	loaded, err := loader.Load(path)
	check(err)
	return loaded
}

func values(file string) chartutil.Values {
	given, err := chartutil.ReadValuesFile(file)
	check(err)
	return given
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
