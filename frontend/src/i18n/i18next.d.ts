import 'i18next';
import type en from './en.json';

declare module 'i18next' {
    interface CustomTypeOptions {
        // An unknown key is a compile error. The other languages have the same keys; a test compares them.
        resources: { translation: typeof en };
    }
}
