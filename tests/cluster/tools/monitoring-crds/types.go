// Package types keeps the Prometheus Operator's types among the requirements; controller-gen writes CRDs of them.
package types

import _ "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
