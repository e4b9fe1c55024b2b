import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, test } from 'vitest';
import en from '../src/i18n/en.json';
import es from '../src/i18n/es.json';
import it from '../src/i18n/it.json';
import pt from '../src/i18n/pt.json';

type Texts = Record<string, Record<string, string>>;
const OTHERS: Record<string, Texts> = { es, pt, it };
const SOURCES = join(import.meta.dirname, '../src');

/** The texts by key. Forms of a plural are in one entry. */
function flat(texts: Texts): Map<string, Map<string, string>> {
    const entries = new Map<string, Map<string, string>>();
    for (const [section, members] of Object.entries(texts)) {
        for (const [name, text] of Object.entries(members)) {
            const [, base, form] = /^(.*?)(?:_(one|few|many|other))?$/.exec(name) ?? [];
            // `choice.other` is a name, not a plural.
            const isPlural = form !== undefined && `${base}_other` in members && `${base}_one` in members;
            const key = isPlural ? `${section}.${base}` : `${section}.${name}`;
            const forms = entries.get(key) ?? new Map<string, string>();
            entries.set(key, forms.set(isPlural ? (form ?? '') : '', text));
        }
    }
    return entries;
}

/** The placeholders of a text. */
const placeholders = (text: string) => [...text.matchAll(/\{\{(\w+)\}\}/g)].map(([, name]) => name).sort();

/** Words that are the same in another language: names, abbreviations and cognates. */
const SAME = new Set([
    'Aval',
    'Error',
    'IBAN',
    'CLABE',
    'RFC',
    'RG',
    'Webhooks',
    'No',
    'Non-binary',
    'Password',
    'Account',
    'Account {{account}}',
    'Actor',
    'Total',
]);

for (const [language, texts] of Object.entries(OTHERS)) {
    test(`every text is translated into ${language}`, () => {
        const [original, translated] = [flat(en), flat(texts)];
        expect([...translated.keys()].sort()).toEqual([...original.keys()].sort());
        const same = [...original].filter(([key, forms]) => {
            const first = [...forms.values()][0] ?? '';
            return (
                !SAME.has(first) &&
                [...(translated.get(key)?.values() ?? [])].includes(first) &&
                /[a-z]{3}/i.test(first)
            );
        });
        expect(same.map(([key]) => key)).toEqual([]);
    });

    test(`translations into ${language} have the placeholders of the original`, () => {
        const translated = flat(texts);
        for (const [key, forms] of flat(en)) {
            const expected = placeholders([...forms.values()].at(-1) ?? '');
            for (const text of translated.get(key)?.values() ?? []) expect(placeholders(text), key).toEqual(expected);
        }
    });
}

test('plurals have every form of their language', () => {
    for (const [language, texts] of Object.entries({ en: en as Texts, ...OTHERS })) {
        const needed = new Intl.PluralRules(language).resolvedOptions().pluralCategories.toSorted();
        for (const [key, forms] of flat(texts)) {
            if (!forms.has('')) expect([...forms.keys()].sort(), `${language} ${key}`).toEqual(needed);
        }
    }
});

/** Attributes whose value is read by people. */
const READ = new Set([
    'label',
    'title',
    'placeholder',
    'aria-label',
    'description',
    'alt',
    'subtitle',
    'hint',
    'confirm',
]);

function sources(folder: string): string[] {
    return readdirSync(folder, { withFileTypes: true, recursive: true })
        .filter((entry) => entry.isFile() && entry.name.endsWith('.tsx'))
        .map((entry) => join(entry.parentPath, entry.name));
}

test('no text is written into a component', () => {
    const found: string[] = [];
    for (const path of sources(SOURCES)) {
        const file = ts.createSourceFile(
            path,
            readFileSync(path, 'utf8'),
            ts.ScriptTarget.Latest,
            true,
            ts.ScriptKind.TSX,
        );
        const visit = (node: ts.Node): void => {
            const isText = ts.isJsxText(node) && /\p{L}/u.test(node.text);
            const isAttribute =
                ts.isJsxAttribute(node) &&
                READ.has(node.name.getText()) &&
                node.initializer !== undefined &&
                ts.isStringLiteral(node.initializer) &&
                /\p{L}/u.test(node.initializer.text);
            if (isText || isAttribute) found.push(`${path}: ${node.getText()}`);
            ts.forEachChild(node, visit);
        };
        visit(file);
    }
    expect(found).toEqual([]);
});

test('every text is used', () => {
    const code = readdirSync(SOURCES, { withFileTypes: true, recursive: true })
        .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name) && entry.name !== 'schema.d.ts')
        .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
        .join('\n');
    const unused = [...flat(en).keys()].filter((key) => {
        const section = key.split('.')[0] ?? '';
        const name = key.slice(section.length + 1);
        // Keys are also composed of a prefix and a value: t(`status.${status}`).
        const prefixes = [...name.matchAll(/_/g)].map(
            (match) => `${section}.${name.slice(0, (match.index ?? 0) + 1)}\${`,
        );
        const suffix = /^[^_]+(_\w+)$/.exec(name)?.[1];
        return ![`'${key}'`, `${section}.\${`, ...prefixes, ...(suffix ? [`}${suffix}`] : [])].some((each) =>
            code.includes(each),
        );
    });
    expect(unused).toEqual([]);
});
