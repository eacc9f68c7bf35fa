import { CATEGORY, GROUP, VERSION } from './group.ts';
import type { KindDefinition } from './kind.ts';
import { type StructuralSchema, toStructural } from './structural.ts';

const standardFields: Record<string, StructuralSchema> = {
  apiVersion: { type: 'string', description: 'Version of the API that the object is written in.' },
  kind: { type: 'string', description: 'Kind of the object.' },
  metadata: { type: 'object' },
};

/** The schema of a kind as its CRD has it: metadata is left to the API server, status has its default. */
export function openApiOf(definition: KindDefinition): StructuralSchema {
  const { properties = {}, required = [], ...rest } = toStructural(definition.schema);
  const { spec = {}, status = {} } = properties;
  return {
    ...rest,
    required: required.filter((name) => name === 'spec'),
    properties: { ...standardFields, spec, status: { ...status, default: definition.statusDefault } },
  };
}

/** The CustomResourceDefinition of a kind, ready to be written as YAML. */
export function crdOf(definition: KindDefinition) {
  const { kind, plural, singular, shortNames, scope } = definition;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      names: { kind, listKind: `${kind}List`, plural, singular, shortNames, categories: [CATEGORY] },
      scope,
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: openApiOf(definition) },
          subresources: { status: {} },
          additionalPrinterColumns: definition.printerColumns,
          ...(definition.selectableFields.length === 0
            ? {}
            : { selectableFields: definition.selectableFields.map((jsonPath) => ({ jsonPath })) }),
        },
      ],
    },
  };
}
